"""`rgz serve` as a process: it says where it is, answers for a run, and Ctrl-C ends it in the middle of an answer."""

import json
import os
import re
import signal
import socket
import urllib.error
import urllib.request

import pytest


@pytest.fixture
def serving(command):
    """Start `rgz serve RUN --port 0`; returns the process, its address and the notices before that."""
    started = []

    def start(run, *flags, **options):
        process = command("serve", run, "--port", 0, *flags, **options)
        started.append(process)
        notices = []
        for line in process.stderr:
            if found := re.search(r"http://\S+:(\d+)/v1", line):
                return process, f"http://127.0.0.1:{found[1]}/v1", notices
            notices.append(line)
        raise AssertionError("".join(notices))

    yield start
    for process in started:
        process.kill()
        process.communicate()


def ask(url, headers=(), **fields):
    request = urllib.request.Request(url, json.dumps(fields).encode(), dict(headers))
    return urllib.request.urlopen(request, timeout=30)


def test_a_run_answers_under_its_name(serving, rgz, answering):
    said = rgz("generate", answering, "--chat", "--prompt", "你是谁？", "--greedy").stdout.removesuffix("\n")
    _, url, notices = serving(answering, "--greedy", "--n-threads", 1)
    messages = [{"role": "user", "content": "你是谁？"}]
    answer = json.load(ask(f"{url}/chat/completions", model="answering", messages=messages))
    assert said and answer["choices"][0]["message"]["content"] == said and not notices


def test_it_sees_as_many_questions_as_the_run_was_taught_with(serving, answering):
    talk = [{"role": role, "content": "你是谁？"} for role in ("user", "assistant", "user")]

    def prompt_tokens(messages, *flags):
        _, url, _ = serving(answering, *flags)
        fields = {"model": "answering", "messages": messages, "max_tokens": 1}
        return json.load(ask(f"{url}/chat/completions", **fields))["usage"]["prompt_tokens"]

    alone = prompt_tokens(talk[:1])
    assert prompt_tokens(talk) == alone < prompt_tokens(talk, "--turns", 2)  # it was taught single questions


@pytest.mark.skipif(os.name != "posix", reason="sends POSIX signals")
def test_ctrl_c_ends_it_in_the_middle_of_an_answer(serving, trained):
    process, url, notices = serving(trained, "--greedy", "--max-new-tokens", 10_000_000)
    assert any("rgz sft" in line for line in notices)  # it has not learnt to answer
    answer = ask(f"{url}/completions", model="trained", prompt="太阳", stream=True)
    answer.read(100)
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130 and not out and "Traceback" not in err, err


def test_a_key_from_the_environment_and_every_network(serving, trained):
    _, url, _ = serving(trained, environment={"RGZ_API_KEY": "密"})
    with pytest.raises(urllib.error.HTTPError, match="401"):
        ask(f"{url}/completions", model="trained")
    key = {"Authorization": "Bearer 密".encode()}
    assert ask(f"{url}/completions", key, model="trained", max_tokens=1).status == 200
    process, _, _ = serving(trained, "--host", "0.0.0.0")
    assert "there is no --api-key" in process.stderr.readline()


@pytest.mark.parametrize("origin", ["page.example", "http://page.example/", "http://例子.example", "http://a b", ""])
def test_an_origin_that_no_browser_sends_is_refused(rgz, trained, origin):
    assert (
        "--allow-origin must be an origin like http://localhost:3000, or *"
        in rgz("serve", trained, "--allow-origin", origin, "--host", "no.such.invalid").stderr
    )


def test_a_place_that_cannot_be(rgz, trained):
    assert "--host must be an address, got ''" in rgz("serve", trained, "--host", "").stderr
    assert "must be <= 65535, got 65536" in rgz("serve", trained, "--port", 65536).stderr
    with socket.create_server(("127.0.0.1", 0)) as taken:
        refused = rgz("serve", trained, "--port", taken.getsockname()[1])
    assert refused.exit_code == 1 and "cannot listen on 127.0.0.1, port" in refused.stderr
