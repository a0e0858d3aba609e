FROM scratch
COPY missing /
