"""Zhihu's sign-in page on loopback, as far as wire 2.9 knows it: a QR tab, a password tab, and what comes of a submit."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self
from urllib.parse import parse_qs

PAGE = """<!doctype html><html lang="zh-CN"><meta charset="utf-8"><title>知乎 - 有问题，就会有答案</title>
<style>body {{ font: 16px sans-serif; margin: 3em }} [hidden] {{ display: none }}</style>
<div class="SignFlow-tabs"><div class="SignFlow-tab">验证码登录</div><div class="SignFlow-tab" id="tab">密码登录</div></div>
<form hidden><input name="{username}"><input type="{password}" name="password"><button type="submit">登录</button>
<div class="SignFlowInput-errorMask" hidden></div></form>
<div class="yidun_popup" hidden>请完成安全验证</div>
<script>
const form = document.querySelector("form"), said = document.querySelector(".SignFlowInput-errorMask");
document.querySelector("#tab").onclick = () => {{ form.hidden = false; }};
form.onsubmit = async event => {{
  event.preventDefault();
  const answer = await (await fetch("/login", {{ method: "POST", body: new URLSearchParams(new FormData(form)) }})).json();
  if (answer.captcha) document.querySelector(".yidun_popup").hidden = false;
  else if (answer.error) {{ said.textContent = answer.error; said.hidden = false; }}
  else location.href = "/";
}};
</script></html>"""


class SigninServer:
    """The server; a context manager. `mode` is `well`, `captcha`, `changed` (no field for the name) or `unhuman` (redirected at once)."""

    def __init__(self, username: str, password: str, session: str) -> None:
        self.mode = "well"
        self.given = {"username": username, "password": password}
        self.session = session
        self.attempts: list[dict[str, str]] = []
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(5)

    @property
    def url(self) -> str:
        """The page."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/signin"

    def page(self) -> str:
        """The page as it is in this mode."""
        fields = {"username": "username", "password": "password"}
        if self.mode == "changed":
            fields["username"] = "account-of-the-new-page"
        return PAGE.format(**fields)

    def log_in(self, given: dict[str, str]) -> tuple[dict[str, Any], list[tuple[str, str]]]:
        """What comes of a submit, and the headers that come with it."""
        self.attempts.append(given)
        if self.mode == "captcha":
            return {"captcha": True}, []
        if given != self.given:
            return {"error": "账号或密码错误"}, []
        cookies = [f"z_c0={self.session}; Path=/; Max-Age=2592000; HttpOnly", "_xsrf=fresh%7Ctoken; Path=/"]
        return {}, [("Set-Cookie", one) for one in cookies]


def _handler(owner: SigninServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if owner.mode == "unhuman" and not self.path.startswith("/account/unhuman"):
                self._send(302, "", [("Location", "/account/unhuman?type=S6E3V1")])
            else:
                self._send(200, owner.page() if self.path.startswith("/signin") else "<p>首页</p>", [])

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
            told, headers = owner.log_in({name: values[0] for name, values in parse_qs(body).items()})
            self._send(200, json.dumps(told), headers)

        def _send(self, status: int, text: str, headers: list[tuple[str, str]]) -> None:
            content = text.encode()
            self.send_response(status)
            self.send_header("Content-Type", "text/html; charset=utf-8")
            self.send_header("Content-Length", str(len(content)))
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Nobody reads it."""

    return Handler
