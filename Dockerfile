# The service alone, without the demo: no shell, no package manager, no root. `deploy/image` builds it.
#
# The base images are named by tag; who wants the same bytes each time adds the digest that their registry shows.

FROM rust:1.95.0-slim-bookworm AS build
WORKDIR /src

# The dependencies, in a layer that changes with Cargo.lock only. aws-lc and SQLite need the C compiler that the image has.
COPY Cargo.toml Cargo.lock ./
COPY .cargo .cargo
RUN mkdir -p src benches/cost \
    && touch src/lib.rs benches/cost/main.rs benches/siege.rs \
    && echo 'fn main() {}' >src/main.rs \
    && cargo build --release --locked --no-default-features --bin hallpass \
    && rm -r src

COPY migrations migrations
COPY src src
# Cargo goes by time stamps, and those of the copies are older than what was built above.
RUN touch src/lib.rs src/main.rs \
    && cargo build --release --locked --no-default-features --bin hallpass

# glibc, libgcc, the CA certificates that issuers and AWS are checked against, and the user 65532.
FROM gcr.io/distroless/cc-debian12:nonroot
COPY LICENSE /usr/share/doc/hallpass/LICENSE
COPY --from=build /src/target/release/hallpass /usr/local/bin/hallpass
# A number, so that an orchestrator can see that it is not root.
USER 65532:65532
ENV HALLPASS_CONFIG=/etc/hallpass/hallpass.toml
EXPOSE 8080
# No HEALTHCHECK: nothing in here could ask. The orchestrator asks GET /healthz and GET /readyz from outside.
ENTRYPOINT ["/usr/local/bin/hallpass"]
CMD ["serve"]
