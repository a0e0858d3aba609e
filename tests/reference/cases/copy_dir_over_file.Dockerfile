FROM scratch
COPY a.txt /x
COPY dir /x
