"""A small model with random weights behind a server in this process, and a client that shares nothing with it."""

import http.client
import json
import threading

import pytest

import rgz
from rgz.serve import Reader, Server

TEXT = "白日依山尽，黄河入海流。欲穷千里目，更上一层楼。"


@pytest.fixture(autouse=True)
def english_on_one_thread(monkeypatch):
    monkeypatch.setenv("RGZ_LANG", "en")
    monkeypatch.setenv("RGZ_NUM_THREADS", "1")


@pytest.fixture(scope="session")
def tokenizer():
    return rgz.CharTokenizer.train([TEXT * 3 + "用户助手系统：\n"])


@pytest.fixture(scope="session")
def model(tokenizer):
    config = rgz.ModelConfig(
        vocab_size=tokenizer.vocab_size, hidden_size=32, num_hidden_layers=2, num_attention_heads=4,
        max_position_embeddings=64,
    )  # fmt: skip
    model = rgz.Model(config, seed=5)
    model.weights *= 8  # far from uniform, so that mistakes show
    return model


class Client:
    """Asks a server; .log holds its lines."""

    def __init__(self, server, log):
        self.server, self.log = server, log

    def connect(self):
        return http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=30)

    def send(self, method, path, body=None, headers=()):
        """The response, whose body is still to be read."""
        connection = self.connect()
        connection.request(method, path, body, dict(headers))
        return connection.getresponse()

    def ask(self, path, headers=(), **fields):
        """Status and object of a request to the model `verses`."""
        body = json.dumps({"model": "verses", **fields}).encode()
        response = self.send("POST", path, body, headers)
        return response.status, json.load(response)

    def chat(self, *contents, **fields):
        roles = ("user", "assistant")
        messages = [{"role": roles[i % 2], "content": text} for i, text in enumerate(contents)]
        return self.ask("/v1/chat/completions", messages=messages, **fields)

    def events(self, path, **fields):
        """The objects of a streamed answer, the mark of its end left out."""
        body = json.dumps({"model": "verses", "stream": True, **fields}).encode()
        response = self.send("POST", path, body)
        assert response.getheader("Content-Type") == "text/event-stream; charset=utf-8"
        lines = response.read().decode().split("\n\n")
        assert lines[-2:] == ["data: [DONE]", ""] and all(line.startswith("data: ") for line in lines[:-1])
        return [json.loads(line.removeprefix("data: ")) for line in lines[:-2]]


@pytest.fixture
def serve(model, tokenizer):
    """Start a server; the keywords are the Server's, and those of the Reader."""
    running = []

    def start(turns=None, settings=None, host="127.0.0.1", **options):
        log = []
        reader = Reader(model, tokenizer, "verses", turns, {"max_new_tokens": 12, "greedy": True, **(settings or {})})
        server = Server(reader, host, 0, log=log.append, **options)
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        running.append((server, thread))
        return Client(server, log)

    yield start
    for server, thread in running:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def client(serve):
    return serve()
