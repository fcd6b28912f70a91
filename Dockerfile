# One node in a container.
#
#   docker build -t seawall .
#   docker run --security-opt seccomp=packaging/seccomp.json --cap-drop ALL --ulimit nofile=65536 \
#       --network host -v /srv/seawall:/var/lib/seawall seawall
#
# Container runtimes forbid io_uring by default: io_uring_setup, io_uring_enter and io_uring_register. The profile allows
# them, and forbids what administers the kernel. Without `--security-opt` the node runs all the same, on the syscall
# driver, and its first line says so.
#
# The node listens on loopback alone, so it shares the network of the host, or of the application's container:
# `--network container:NAME`. The directory on the host belongs to user 10001.
FROM rust:1.95-slim-bookworm AS build
WORKDIR /src
COPY . .
RUN cargo build --release --locked --bin seawall

FROM debian:bookworm-slim
RUN useradd --system --uid 10001 --home-dir /var/lib/seawall --create-home seawall
COPY --from=build /src/target/release/seawall /usr/local/bin/seawall
COPY packaging/seawall.toml /etc/seawall.toml
USER seawall
VOLUME /var/lib/seawall
STOPSIGNAL SIGTERM
ENTRYPOINT ["seawall"]
CMD ["server", "--config", "/etc/seawall.toml"]
