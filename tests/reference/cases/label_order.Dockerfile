# arguments: --label=flag=1 --label=z=overridden --build-arg=V=given
FROM busybox
ARG V=unset
LABEL z=1 a=2 "key with space"="value with space" m="multi\
line" v=$V
LABEL a=3
LABEL old form $V
