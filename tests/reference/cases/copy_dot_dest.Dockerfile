FROM busybox
WORKDIR /w
COPY a.txt ./sub/./x
COPY dir .
COPY b.txt /w/..
ADD setuid ""
