FROM scratch
COPY a.txt /d/sub
COPY dir /d
