# arguments: --platform=linux/arm/v7
FROM scratch
COPY a.txt /
