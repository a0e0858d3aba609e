FROM busybox
RUN mkdir -p /x/top
ADD tars/plain.tar /x/
