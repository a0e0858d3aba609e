FROM debian
COPY a.txt /bin/
COPY --link b.txt /lib/x/
ADD tars/plain.tar /sbin
WORKDIR /var/run/x
RUN rm /etc/debian_version && dpkg -s base-files >/dev/null
