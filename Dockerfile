# One image for every role; the command says which. Written without a Docker daemon at hand: not built and not run yet.
FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN python -m venv /opt/tessera
COPY requirements.lock .
RUN /opt/tessera/bin/pip install --no-cache-dir --require-hashes -r requirements.lock
COPY . .
RUN /opt/tessera/bin/pip install --no-cache-dir --no-deps --no-build-isolation .

FROM python:3.11-slim-bookworm
COPY --from=build /opt/tessera /opt/tessera
RUN useradd --system --home-dir /var/lib/tessera --create-home tessera
# An empty named volume takes owner and mode of the folder that it is mounted on; docker-compose.yml mounts these.
RUN cd /var/lib/tessera && install -d -o tessera -g tessera -m 0700 data keys public \
    public/accounts public/projects public/devices public/licensing public/history public/gateway
USER tessera
WORKDIR /var/lib/tessera
ENV PATH=/opt/tessera/bin:$PATH PYTHONUNBUFFERED=1 TESSERA_DATA_DIR=/var/lib/tessera/data
# Without arguments: everything in this one process.
CMD ["python", "-m", "deploy.run"]
