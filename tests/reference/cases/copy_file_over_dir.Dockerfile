FROM scratch
COPY dir /a.txt
COPY a.txt /
