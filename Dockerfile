# Built in one stage, run in another: the image holds Python, the locked packages and the gateway with its hot path
# compiled, nothing else.
# The tag is of one release: a rebuild changes nothing that nobody asked for. Raise it for security updates.
ARG PYTHON=python:3.13.9-slim-bookworm
FROM ${PYTHON} AS build
WORKDIR /src
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev && rm -rf /var/lib/apt/lists/*
RUN python -m venv /opt/gateway && python -m venv /opt/tools
COPY requirements.lock requirements-dev.lock ./
RUN /opt/gateway/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
RUN /opt/tools/bin/pip install --no-cache-dir --require-hashes -r requirements-dev.lock
COPY setup.py pyproject.toml README.md ./
COPY gateway gateway
RUN GATEWAY_COMPILE=1 /opt/tools/bin/pip wheel --no-deps --no-build-isolation --wheel-dir /tmp/wheel . \
    && /opt/gateway/bin/pip install --no-cache-dir --no-deps /tmp/wheel/*.whl

FROM ${PYTHON}
RUN groupadd --system --gid 10001 gateway \
    && useradd --system --uid 10001 --gid gateway --home-dir /var/lib/gateway --create-home gateway
COPY --from=build /opt/gateway /opt/gateway
COPY routes.yaml /etc/gateway/routes.yaml
COPY policies /etc/gateway/policies
RUN install -d -o 10001 -g 10001 -m 0700 /var/lib/gateway
USER 10001:10001
WORKDIR /var/lib/gateway
# Nothing is written outside of /tmp and, with an audit log, server.state_dir (sockets of the gateway's own processes; tests/scenarios/test_read_only.py): run with
#   docker run --read-only --tmpfs /tmp --cap-drop ALL --security-opt no-new-privileges -p 8080:8080 \
#     -v ./routes.yaml:/etc/gateway/routes.yaml:ro ...
ENV PATH=/opt/gateway/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 GATEWAY_CONFIG=/etc/gateway/routes.yaml
EXPOSE 8080
HEALTHCHECK --interval=5s --timeout=2s --start-period=5s \
    CMD ["python", "-c", "import urllib.request as u; u.build_opener(u.ProxyHandler({})).open('http://127.0.0.1:8081/readyz', timeout=1)"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["gateway"]
CMD ["serve", "--host", "0.0.0.0"]
