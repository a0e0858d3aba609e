FROM busybox AS a
MAINTAINER Some One <a@b.c>
FROM a
LABEL x=$nothing
