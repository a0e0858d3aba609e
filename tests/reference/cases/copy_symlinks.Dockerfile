FROM scratch
COPY link /l1
COPY dirlink /l2
COPY dirlink/ /l3/
COPY dirlink/file /l4
COPY dir/sublink/deep /l5
COPY dir/link dir/up /l6/
COPY dir/rooted /l7
