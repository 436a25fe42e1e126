# as probe.S -o probe.o && ld -Ttext=0x7c00 --oformat=binary -e _start -o probe.bin probe.o
# A boot sector that goes the way a system's loader goes: real mode, a BIOS call, protected mode, paging, long mode, and a
# loop there, and then tells the host by the debug exit port.
.code16
.globl _start
_start:
  cli
  xorw %ax,%ax
  movw %ax,%ds
  movw %ax,%es
  movw %ax,%ss
  movw $0x7c00,%sp
  sti
  # wait for two ticks of the timer: interrupts arrive
  movw 0x46c,%bx
1: hlt
  movw 0x46c,%ax
  subw %bx,%ax
  cmpw $2,%ax
  jb 1b
  cli
  # page tables at 0x1000: pml4, 0x2000: pdpt, 0x3000: pd with one 2 MiB page
  movw $0x1000,%di
  xorl %eax,%eax
  movw $0x0c00,%cx
  cld
  rep stosl
  movl $0x2003,0x1000
  movl $0x3003,0x2000
  movl $0x0083,0x3000
  lgdt gdtr
  movl $0x20,%eax
  movl %eax,%cr4
  movl $0x1000,%eax
  movl %eax,%cr3
  movl $0xc0000080,%ecx
  rdmsr
  orl $0x100,%eax
  wrmsr
  movl %cr0,%eax
  orl $0x80000001,%eax
  movl %eax,%cr0
  ljmp $8,$long
.code64
long:
  movl $1000000,%ecx
2: incq 0x5000
  decl %ecx
  jnz 2b
  movb $0x2a,%al
  outb %al,$0xf4
3: hlt
  jmp 3b
.align 8
gdt: .quad 0
  .quad 0x00209a0000000000
gdtr: .word 15
  .long gdt
.org 510
.word 0xaa55
