FROM busybox
RUN echo a \
# a comment
   && echo b \

   && echo c > /c
  RUN   echo    spaces   kept   > /spaces  
ENV A=1 \
    B=2
copy a.txt   b.txt \
  /x/
