FROM busybox
ONBUILD run   echo   "spaces  kept" \
    and continued
ONBUILD COPY --chown=1:2 a.txt /
ONBUILD ENTRYPOINT ["a",  "b"]
ONBUILD USER $WHO
