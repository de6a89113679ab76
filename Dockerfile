# dockgate's image: one static binary, from scratch.
#
#   docker build -t dockgate --build-arg DOCKGATE_COMMIT=$(git rev-parse --short HEAD) .
#
# With --build-context build=FOLDER (BuildKit, buildah, podman) nothing is compiled: FOLDER has an `out` like that of the
# stage `build`.
# By its digest (...@sha256:...) it is the same for whoever builds again.
ARG RUST_IMAGE=docker.io/library/rust:1.95-bookworm

FROM ${RUST_IMAGE} AS build
WORKDIR /src
COPY . .
ARG DOCKGATE_COMMIT=
# With its target named, cargo leaves these flags away from what runs during the build.
RUN set -eu; target=$(rustc -vV | sed -n 's/^host: //p'); export DOCKGATE_COMMIT; \
    RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --locked --bin dockgate --target "$target"; \
    mkdir -p /out/usr/bin /out/state; \
    cp "target/$target/release/dockgate" /out/usr/bin/; \
    ln -s dockgate /out/usr/bin/htpasswd

FROM scratch
ARG DOCKGATE_COMMIT=
LABEL org.opencontainers.image.title="dockgate" \
      org.opencontainers.image.description="The gate in front of a container registry, and the registry too" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.revision="${DOCKGATE_COMMIT}"
COPY --from=build /out/usr /usr
COPY --from=build --chown=65532:65532 /out/state /var/lib/dockgate
COPY deploy/image/proxy.toml LICENSE /usr/share/dockgate/
ENV PATH=/usr/bin
# A number: there is no /etc/passwd. It owns the volume.
USER 65532:65532
WORKDIR /var/lib/dockgate
VOLUME /var/lib/dockgate
# The registry without configuration; port 443 where the variables of an older image are used.
EXPOSE 5443 443
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=6s --start-period=10s CMD ["/usr/bin/dockgate", "health"]
ENTRYPOINT ["/usr/bin/dockgate"]
CMD ["serve"]
