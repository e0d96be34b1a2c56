# One image for every role: the binary, the libraries that it is linked against, CA certificates, a user. No shell, no
# package manager, nothing to log in to. The classic builder and BuildKit both build it.
#
#   docker build -t bazar .                                          compiles in a container
#   docker build -t bazar --build-arg BINARY=prebuilt \
#       --build-arg RUST_IMAGE=debian:bookworm-slim CONTEXT          takes CONTEXT/prebuilt/bazar, built outside
#
# To either, --build-arg REVISION=$(git rev-parse --short HEAD) says which commit it is; the second takes a binary that
# was told by BAZAR_REVISION when it was built.
#
# Without arguments a container is the whole store: docker run -p 8083:8083 bazar

ARG RUST_IMAGE=rust:1.95-bookworm
ARG DEBIAN_IMAGE=debian:bookworm-slim
# compiled or prebuilt. What they do is said with ONBUILD because the classic builder runs every stage of the file:
# like this only the steps of the one that is chosen are run.
ARG BINARY=compiled
# What `bazar_build_info` and the label of the image say.
ARG REVISION=unknown

FROM ${RUST_IMAGE} AS compiled
ONBUILD WORKDIR /build
# The dependencies are a layer of their own, behind the manifest alone: an edit of the sources does not touch it.
ONBUILD COPY Cargo.toml Cargo.lock ./
# Members of the workspace, which Cargo wants to see.
ONBUILD COPY benches ./benches
ONBUILD COPY tests ./tests
ONBUILD RUN mkdir src && echo 'fn main() {}' >src/main.rs && touch src/lib.rs \
 && cargo build --release --locked --bin bazar && rm -r src
ONBUILD COPY . .
# Only here: what is above is the same at every commit.
ONBUILD ARG REVISION
# Cargo goes by the time of the files, and these may be older than the stubs.
ONBUILD RUN touch src/main.rs src/lib.rs && BAZAR_REVISION="$REVISION" cargo build --release --locked --bin bazar \
 && install -D target/release/bazar /out/bazar

FROM ${DEBIAN_IMAGE} AS prebuilt
ONBUILD COPY prebuilt/bazar /out/bazar
ONBUILD RUN chmod 0755 /out/bazar

# hadolint ignore=DL3006
FROM ${BINARY} AS binary

# The root file system of the image, put together where there is a shell.
FROM ${DEBIAN_IMAGE} AS rootfs
COPY --from=binary /out/bazar /rootfs/usr/bin/bazar
# The slim image of some registries comes without the certificates.
RUN test -s /etc/ssl/certs/ca-certificates.crt \
 || { apt-get update && apt-get install -y --no-install-recommends ca-certificates && rm -rf /var/lib/apt/lists/*; }
RUN set -eu; cd /rootfs; \
    libraries=$(ldd usr/bin/bazar); \
    case $libraries in *'not found'*) printf '%s\n' "$libraries" >&2; exit 1 ;; esac; \
    printf '%s\n' "$libraries" | grep -o '/[^ ]*' | while read -r library; do \
        mkdir -p ".${library%/*}"; cp -L "$library" ".$library"; \
    done; \
    mkdir -p etc/ssl/certs; \
    mkdir -p -m 0700 /owned/data; \
    mkdir -m 1777 tmp; \
    cp -L /etc/ssl/certs/ca-certificates.crt etc/ssl/certs/; \
    echo 'root:x:0:0:root:/:/nonexistent' >etc/passwd; \
    echo 'bazar:x:10001:10001:bazar:/data:/nonexistent' >>etc/passwd; \
    printf 'root:x:0:\nbazar:x:10001:\n' >etc/group; \
    echo 'hosts: files dns' >etc/nsswitch.conf; \
    chroot . /usr/bin/bazar --version

FROM scratch AS runtime
ARG VERSION=0.1.0
ARG REVISION
LABEL org.opencontainers.image.title="bazar" \
      org.opencontainers.image.description="A distributed bookstore whose reads come from a cache and are never stale" \
      org.opencontainers.image.licenses="MIT OR Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=rootfs /rootfs /
# A new volume on /data takes the owner over from here.
COPY --from=rootfs --chown=10001:10001 /owned /
ENV PATH=/usr/bin SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
USER 10001:10001
WORKDIR /data
ENTRYPOINT ["/usr/bin/bazar"]

# The names of the original's images, each for one role: the same image with the role's command.
FROM runtime AS catalog-service-production
EXPOSE 3000
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s CMD ["/usr/bin/bazar", "healthcheck", "http://127.0.0.1:3000/healthz"]
CMD ["catalog", "--master", "--listen", "0.0.0.0:3000", "--data", "/data"]

FROM runtime AS order-service-production
EXPOSE 3006
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s CMD ["/usr/bin/bazar", "healthcheck", "http://127.0.0.1:3006/healthz"]
CMD ["order", "--listen", "0.0.0.0:3006", "--master", "http://catalog-master:3000"]

FROM runtime AS frontend-service-production
EXPOSE 3005 3105
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s CMD ["/usr/bin/bazar", "healthcheck", "http://127.0.0.1:3005/healthz"]
CMD ["frontend", "--listen", "0.0.0.0:3005", "--internal-listen", "0.0.0.0:3105", "--master", "http://catalog-master:3000", "--replica", "http://catalog-replica:3000", "--order", "http://order:3006"]

# The default: the image of every role.
FROM runtime AS bazar
EXPOSE 8083 3000 3005 3006 3105
# For the default command; whoever gives a role names its listener (see compose.yaml).
HEALTHCHECK --interval=5s --timeout=3s --start-period=15s CMD ["/usr/bin/bazar", "healthcheck", "http://127.0.0.1:8083/healthz"]
CMD ["up", "--listen", "0.0.0.0:8083", "--data", "/data"]
