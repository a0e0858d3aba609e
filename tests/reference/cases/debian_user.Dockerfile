FROM debian
RUN useradd -m -u 1500 app && usermod -aG games app
USER app
WORKDIR /home/app/work
RUN id > id && ls -ldn /home/app/work | cut -d' ' -f1-4 > ls
COPY --chown=app dir ./dir
USER games
RUN id > /tmp/games
