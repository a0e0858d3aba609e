FROM scratch
COPY capable /
COPY --chown=5 capable /chowned
