FROM busybox
COPY etc/ /etc/
USER app
WORKDIR /owned/by/whom
RUN id > /tmp/id; pwd >> /tmp/id
COPY a.txt .
USER 5:6
WORKDIR numbers
USER root
