FROM busybox
LABEL a=${N:?not given}
