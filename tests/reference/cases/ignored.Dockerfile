FROM scratch
COPY ignored /ignored
COPY .dockerignore c* /x/
