FROM busybox
CMD ['single', 'quotes']
ENTRYPOINT [ "open", "ended"
SHELL ["/bin/sh", "-ec"]
RUN ["sh", "-c", "echo exec > /exec"]
RUN [ "$HOME" = /root ] && echo shell > /shell
