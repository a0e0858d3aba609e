FROM scratch
COPY odd /odd
