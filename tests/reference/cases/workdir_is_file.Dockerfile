FROM busybox
COPY a.txt /f
WORKDIR /f
