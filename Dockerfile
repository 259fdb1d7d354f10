# syntax=docker/dockerfile:1
# The router as one static binary in an empty image. Builds with docker, buildah and podman, on amd64 and arm64:
#   docker build -t registry.example.com/spark-router:0.1.0 .

# The version that rust-toolchain.toml pins; that file stays out of the build, or rustup would fetch it once more.
FROM rust:1.95.0-alpine AS build
# ring compiles C and assembly; the musl toolchain of this image links statically by default.
RUN apk add --no-cache build-base
WORKDIR /src
COPY . .
RUN --mount=type=cache,target=/usr/local/cargo/registry \
    --mount=type=cache,target=/src/target \
    cargo build --locked --release --package spark-router \
 && cp target/release/spark-router /spark-router

# For endpoints that are signed by a public authority; kubeconfigs bring their own.
FROM alpine:3 AS certificates
RUN apk add --no-cache ca-certificates

FROM scratch
LABEL org.opencontainers.image.title="spark-router" \
      org.opencontainers.image.description="Routes Spark jobs over many Kubernetes clusters" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/spark-router/spark-router"
COPY --from=certificates /etc/ssl/certs/ca-certificates.crt /etc/ssl/certs/ca-certificates.crt
COPY --from=build /spark-router /spark-router
COPY LICENSE /LICENSE
# By number: the kubelet can only check `runAsNonRoot` on a number.
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["/spark-router"]
CMD ["run"]
