"""Real proxies in front of the gateway, which end TLS and tell it their callers' certificates."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import trustme

_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/sbin"

NGINX = """
daemon off; worker_processes 1; pid nginx.pid; error_log stderr crit;
events { worker_connections 64; }
http {
  access_log off; client_body_temp_path body; proxy_temp_path proxy;
  fastcgi_temp_path fastcgi; uwsgi_temp_path uwsgi; scgi_temp_path scgi;
  server {
    listen 127.0.0.1:PORT ssl;
    ssl_certificate server.pem; ssl_certificate_key server.pem;
    ssl_client_certificate clients.pem; ssl_verify_client optional;
    location / {
      proxy_pass http://127.0.0.1:GATEWAY;
      proxy_set_header Host $http_host;
      proxy_set_header X-Forwarded-For $remote_addr;
      proxy_set_header X-Forwarded-Proto $scheme;
      proxy_set_header X-Client-Cert $ssl_client_escaped_cert;
    }
  }
}
"""
HAPROXY = """
defaults
  mode http
  timeout connect 5s
  timeout client 20s
  timeout server 20s
frontend callers
  bind 127.0.0.1:PORT ssl crt server.pem ca-file clients.pem verify optional
  http-request set-header x-forwarded-for %[src]
  http-request set-header x-forwarded-proto https
  http-request del-header client-cert
  http-request set-header client-cert :%[ssl_c_der,base64]: if { ssl_c_used }
  default_backend gateway
backend gateway
  server gateway 127.0.0.1:GATEWAY
"""
KINDS = {
    "nginx": (NGINX, ["-p", ".", "-c", "proxy.conf"], "x-client-cert"),
    "haproxy": (HAPROXY, ["-db", "-f", "proxy.conf"], "client-cert"),
}
"""Name → its configuration, how it is started, and the header in which it tells certificates."""


def installed(name: str) -> bool:
    return shutil.which(name, path=_PATH) is not None


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@contextmanager
def in_front(name: str, gateway_port: int, server: trustme.LeafCert, clients: trustme.CA) -> Iterator[str]:
    """The proxy `name` before a gateway, with `server`'s certificate; yields its URL."""
    text, arguments, _ = KINDS[name]
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="gateway-test-") as folder:
        home = Path(folder)
        server.private_key_and_cert_chain_pem.write_to_path(home / "server.pem")
        clients.cert_pem.write_to_path(home / "clients.pem")
        text = text.replace("PORT", str(port)).replace("GATEWAY", str(gateway_port))
        (home / "proxy.conf").write_text(text)
        command = shutil.which(name, path=_PATH)
        assert command is not None
        process = subprocess.Popen(
            [command, *arguments], cwd=home, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
        )
        try:
            until = time.monotonic() + 20
            while True:
                try:
                    socket.create_connection(("127.0.0.1", port), timeout=5).close()
                    break
                except ConnectionRefusedError:
                    assert process.poll() is None, process.communicate()[1]
                    assert time.monotonic() < until, f"{name} does not listen"
                    time.sleep(0.01)
            yield f"https://127.0.0.1:{port}"
        finally:
            process.terminate()
            process.communicate(timeout=20)
