# escape=`
FROM busybox
ENV A=`$B C=\d
RUN echo one `
  && echo two > /two
WORKDIR c:\dir
