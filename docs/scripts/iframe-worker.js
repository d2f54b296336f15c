// A page that is opened from a folder may start no worker, and the search is one. Its script runs in
// a hidden frame instead. In place of the script that the theme would fetch from another machine.
class FrameWorker extends EventTarget {
  constructor(url) {
    super();
    this.onmessage = null;
    const frame = document.createElement("iframe");
    frame.hidden = true;
    document.body.append(frame);
    this.inside = frame.contentWindow;
    const worker = this.inside;
    const load = (source) =>
      new Promise((done, failed) => {
        const script = worker.document.createElement("script");
        script.src = source;
        script.onload = done;
        script.onerror = () => failed(new Error(`${source} cannot be read`));
        worker.document.body.append(script);
      });
    worker.postMessage = (data) => this.receive(data);
    worker.importScripts = async (...sources) => {
      for (const source of sources) await load(source);
    };
    this.ready = load(url);
  }

  receive(data) {
    const event = new MessageEvent("message", { data });
    this.dispatchEvent(event);
    if (this.onmessage) this.onmessage(event);
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", { data })));
  }

  terminate() {}
}

if (location.protocol === "file:") window.Worker = FrameWorker;
