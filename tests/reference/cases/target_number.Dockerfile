# arguments: --target=1
FROM scratch AS first
COPY a.txt /
FROM first
COPY b.txt /
FROM first
