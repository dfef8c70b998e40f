# The service in a container: build with `docker compose build`, run with `docker compose up`.
#
# No container engine was at hand when this was written: tests/test_container.py reads this file and compose.yaml and
# checks what they promise, but no image has been built from them yet.
#
# torch: the wheel on the default package index brings its GPU libraries (several GB). An index that carries CPU builds
# can be added with --build-arg PIP_EXTRA_INDEX_URL=...: pip then prefers the build marked +cpu of the same pinned
# version. PIP_INDEX_URL does the same for a mirror of the whole index.

# FAISS=faiss-gpu makes the image of compose.yaml's profile gpu.

FROM python:3.11-slim AS build
ARG PIP_INDEX_URL
ARG PIP_EXTRA_INDEX_URL
ARG FAISS=faiss-cpu
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1
RUN python -m venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH
COPY requirements.txt /app/requirements.txt
RUN sed "s/^faiss-cpu==/$FAISS==/" /app/requirements.txt > /tmp/requirements.txt \
    && pip install --requirement /tmp/requirements.txt
WORKDIR /app
COPY . .
# Editable: models/ is looked for beside the packages, so they stay together in /app
RUN pip install --no-deps --editable . && python -m compileall -q /app

FROM python:3.11-slim AS service
# Text recognition of scanned pages; its version is the distribution's
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends tesseract-ocr tesseract-ocr-eng \
    && rm -rf /var/lib/apt/lists/*
RUN useradd --uid 10001 --home-dir /data --shell /usr/sbin/nologin answerable \
    && install --directory --owner=10001 --group=10001 /data
COPY --from=build /opt/venv /opt/venv
COPY --from=build /app /app
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    PIP_NO_CACHE_DIR=1 \
    ANSWERABLE_HOME=/data
WORKDIR /app
USER 10001:10001
VOLUME /data
EXPOSE 8080
# The first start brings and converts the base weights into the volume before it listens; later ones take seconds
HEALTHCHECK --interval=30s --timeout=5s --start-period=10m --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=4)"]
CMD ["sh", "-c", "answerable models pull && exec answerable serve --host 0.0.0.0 --port 8080"]
