# Build with: docker build -t mozaiks-gateway .
# Run with:   docker run -p 8000:8000 -e MOZAIKS_JWT_SECRET=… -v plugins:/plugins -v data:/data mozaiks-gateway
# Look with:  the same, and `doctor --container` behind it

FROM rust:1-bookworm AS build
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3-dev python3-venv cmake \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY .cargo .cargo
COPY Cargo.toml Cargo.lock build.rs ./
COPY crates crates
COPY bench/programs bench/programs
COPY src src
ENV PYO3_PYTHON=/usr/bin/python3
RUN cargo build --locked --profile dist --bin mozaiks --bin docstore -p mozaiks-gateway -p docstore
COPY python-sdk python-sdk
RUN python3 -m venv /opt/venv && /opt/venv/bin/pip install --no-cache-dir ./python-sdk

FROM debian:bookworm-slim
RUN apt-get update \
    && apt-get install -y --no-install-recommends python3 libpython3.11 ca-certificates curl tzdata \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --system --uid 10001 --home-dir /data --create-home mozaiks \
    && install -d -o mozaiks -g mozaiks /plugins
COPY --from=build /src/target/dist/mozaiks /src/target/dist/docstore /usr/local/bin/
COPY --from=build /opt/venv /opt/venv
ENV VIRTUAL_ENV=/opt/venv \
    MOZAIKS_LISTEN=0.0.0.0:8000 \
    MOZAIKS_PLUGINS_PATH=/plugins \
    MOZAIKS_DATA_DIR=/data
USER mozaiks
VOLUME ["/data"]
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=3s --start-period=20s \
    CMD ["curl", "--fail", "--silent", "http://127.0.0.1:8000/ready"]
STOPSIGNAL SIGTERM
ENTRYPOINT ["mozaiks"]
CMD ["serve"]
