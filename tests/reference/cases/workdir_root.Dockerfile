FROM busybox
WORKDIR /
COPY a.txt .
