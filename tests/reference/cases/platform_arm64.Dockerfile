# arguments: --platform=linux/arm64
FROM busybox AS x
COPY a.txt /
FROM --platform=linux/arm/v7 x
FROM scratch
COPY --from=x / /
