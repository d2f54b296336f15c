import os

from sdtune.play.environment import closed_environment


def test_nothing_of_the_users_reaches_gradio(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv("GRADIO_SHARE", "True")
    monkeypatch.setenv("GRADIO_ALLOWED_PATHS", "/")
    monkeypatch.setenv("NO_PROXY", "example.org")
    with closed_environment(tmp_path):
        found = {name: value for name, value in os.environ.items() if name.startswith("GRADIO_")}
        assert found == {"GRADIO_ANALYTICS_ENABLED": "False", "GRADIO_TEMP_DIR": str(tmp_path)}
        assert os.environ["NO_PROXY"] == "example.org,127.0.0.1,localhost"
    assert os.environ["GRADIO_SHARE"] == "True"
    assert "GRADIO_TEMP_DIR" not in os.environ
