FROM busybox
COPY etc/ /etc/
USER app
RUN echo $HOME > /tmp/home
ENV HOME=/set
RUN echo $HOME > /tmp/set
