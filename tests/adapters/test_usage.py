import ast
import shlex

from sdtune.adapters.usage import literal, quoted, shown


def test_paths_and_texts_are_read_again_as_they_were(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "my pictures" / "it's.safetensors"
    assert shown(path) == "my pictures/it's.safetensors"
    assert shown(tmp_path.parent / "other") == str(tmp_path.parent / "other")
    assert shlex.split(quoted(path)) == [shown(path)]
    text = 'a "grün" cat\\n'
    assert ast.literal_eval(literal(text)) == text
    assert "ü" in literal(text)
