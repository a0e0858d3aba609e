FROM busybox
COPY dir /dir
COPY tree /tree
RUN rm -r /dir && mkdir /dir && echo new > /dir/new
RUN rm /tree/a.txt && ln -s /etc /tree/a.txt
RUN rm -r /tree/dir && echo f > /tree/dir
