FROM scratch
COPY tree /
