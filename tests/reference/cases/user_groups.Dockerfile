FROM busybox
COPY etc/ /etc/
USER app
RUN id > /tmp/app
USER lone
RUN id > /tmp/lone
USER app:extra
RUN id > /tmp/group
USER 1000
RUN id > /tmp/uid; echo $HOME >> /tmp/uid
USER 1000:5
RUN id > /tmp/both
USER 4321
RUN id > /tmp/unknown
USER lone:4
RUN id > /tmp/lone4; echo $HOME >> /tmp/lone4
