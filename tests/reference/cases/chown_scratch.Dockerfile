FROM scratch
COPY --chown=5:6 a.txt /five/six/
COPY --chown=7 dir /seven
