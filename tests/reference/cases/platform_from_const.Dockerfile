FROM --platform=linux/arm/v7 busybox
LABEL x=y
