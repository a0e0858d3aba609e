FROM scratch
COPY setuid setgid owned empty /
COPY --chown=5:6 setuid /chowned
COPY dir/sub/deep /deep
