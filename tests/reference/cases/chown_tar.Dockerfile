FROM busybox
COPY etc/ /etc/
ADD --chown=app tars/plain.tar /tar/
