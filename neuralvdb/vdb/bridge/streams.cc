#include "streams.h"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace nvdb {

MappedFile::MappedFile(const std::string& path) {
    const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK); // a pipe is refused, not waited for
    struct stat info {};
    if (file < 0 || ::fstat(file, &info) != 0) {
        const int code = errno;
        if (file >= 0) ::close(file);
        throw SystemFailure(std::strerror(code), code);
    }
    if (!S_ISREG(info.st_mode)) {
        ::close(file);
        throw SystemFailure("not a regular file", EINVAL);
    }
    size_ = size_t(info.st_size);
    void* mapped = size_ ? ::mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file, 0) : nullptr;
    const int code = errno;
    ::close(file);
    if (mapped == MAP_FAILED) throw SystemFailure(std::strerror(code), code);
    data_ = static_cast<const char*>(mapped);
}

MappedFile::~MappedFile() {
    if (data_) ::munmap(const_cast<char*>(data_), size_);
}

void MappedFile::release() const {
    if (data_) ::madvise(const_cast<char*>(data_), size_, MADV_DONTNEED);
}

} // namespace nvdb
