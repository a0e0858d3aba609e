FROM scratch
COPY dir /new
COPY dir /slash/
COPY dir/ /src-slash
COPY dir/. /src-dot
COPY dir tree /both/
COPY a.txt /new
COPY a.txt b.txt /several/
